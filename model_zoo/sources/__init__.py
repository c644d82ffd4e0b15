"""Sources of images: files, standard input, web addresses, videos, cameras and streams."""
