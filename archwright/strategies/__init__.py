"""archwright.strategies."""
