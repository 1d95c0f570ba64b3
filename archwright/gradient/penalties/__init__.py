"""What is added to the losses: costs, budgets, entropy, distillation."""
