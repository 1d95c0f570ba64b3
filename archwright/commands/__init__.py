"""Groups of commands beside the main job; each file imports what is heavy inside its commands."""
