"""archwright.nets."""
