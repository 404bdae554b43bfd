"""Pictures: one house style, drawn with matplotlib, as SVG, PDF and PNG."""
