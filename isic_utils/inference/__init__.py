"""What a trained model predicts for images, and how far to trust it."""
