"""The pipeline: sessions and described tests times platforms, as steps that CI can render."""
