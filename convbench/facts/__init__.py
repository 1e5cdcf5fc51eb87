"""What a convolution, a configuration and a row are; knows neither torch nor Hydra nor pandas."""
