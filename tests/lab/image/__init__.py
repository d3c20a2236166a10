"""What runs inside the lab's containers."""
