"""Building the container image: with Docker where it runs, elsewhere with buildah on Debian's packages."""
