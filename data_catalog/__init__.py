"""What is known about every image, versioned: tables, packs, published versions, shards."""
