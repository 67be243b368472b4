"""Fine-tuning: what `CrossEncoderTrainer` is given, and how it is run."""
