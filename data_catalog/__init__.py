"""What is known about every image, versioned: tables, packs of bytes, published versions, shards."""
