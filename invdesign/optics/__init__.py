"""Light in the layer stack: where it is reflected, transmitted and absorbed."""

from invdesign.optics.stack import Optics as Optics, solve as solve
