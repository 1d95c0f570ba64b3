"""archwright.spaces."""
