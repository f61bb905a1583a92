"""Gateway: translates REST to gRPC and back."""

from nanogrid.rpc import grpc_polling as grpc_polling  # before anything imports gRPC
