"""archwright.analysis."""
