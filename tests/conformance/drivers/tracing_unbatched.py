"""Tracing with a request for every change."""

from driving import drive
from tracing import flow

if __name__ == "__main__":
    drive(flow, batching=False)
