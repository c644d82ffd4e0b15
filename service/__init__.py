"""HTTP service around exported model packages. Imports `model_zoo.contract` only, never torch."""
