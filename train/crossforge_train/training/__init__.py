"""Fine-tuning: prepares the inputs of `CrossEncoderTrainer` and runs it."""
