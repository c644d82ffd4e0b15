"""Label Studio's protocol of machine learning backends."""
