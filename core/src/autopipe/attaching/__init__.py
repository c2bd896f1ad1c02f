"""What attaches to pipelines: add-ons, engines, and the views of networks that they act by."""
