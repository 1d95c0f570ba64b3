"""archwright.report."""
