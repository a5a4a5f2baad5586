"""Light in the layer stack: where it is reflected, transmitted and absorbed."""

from invdesign.optics.stack import Optics as Optics
from invdesign.optics.stack import solve as solve
