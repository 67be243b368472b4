"""What a collection holds, in numbers, before anything is trained on it."""
