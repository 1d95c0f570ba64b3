"""archwright.gradient."""
