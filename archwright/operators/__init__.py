"""archwright.operators."""
