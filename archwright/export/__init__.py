"""archwright.export."""
