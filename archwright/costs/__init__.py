"""archwright.costs."""
