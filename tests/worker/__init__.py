"""Workers, their children, frames and confinement."""
