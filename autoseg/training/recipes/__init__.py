"""What a training is made of, in numbers and names: recipes that ship, recipe files, and what is kept of one with a model."""
