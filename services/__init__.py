"""The services of NanoGrid. They meet only in the contract."""

from nanogrid.rpc import grpc_polling as grpc_polling  # before anything imports gRPC
