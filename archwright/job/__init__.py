"""The main job: from data and a budget to a trained, measured and exported network."""
