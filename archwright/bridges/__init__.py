"""archwright.bridges."""
