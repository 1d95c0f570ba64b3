"""archwright.space."""
