"""Small servers that speak a model provider's protocol and write down what they were sent."""
