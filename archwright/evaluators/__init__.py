"""archwright.evaluators."""
