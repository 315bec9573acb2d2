"""What a trained model says about images, and how far to trust it."""
