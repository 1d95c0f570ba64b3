"""archwright.predictors."""
