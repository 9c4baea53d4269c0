"""Contestants, each a program that runs in the environment that its library is installed in."""
