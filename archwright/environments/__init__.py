"""Cost models as environments: a design is an action, targets make the reward."""
