"""TLS of the stream between the processes of banking_api, for when it leaves the machine."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class StreamTls:
    """What a process shows to the others, and by which authority it checks what they show; all in PEM."""

    certificate: bytes
    key: bytes
    authority: bytes

    @classmethod
    def read(cls, certificate: Path, key: Path, authority: Path) -> "StreamTls":
        """Read the three files.

        Raises:
            ValueError: one cannot be read, is not what it should be, or the key is not the certificate's.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for path in (certificate, key, authority):
            if not path.is_file():
                raise ValueError(f"{path} is not a file that can be read")
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise ValueError(f"{certificate} and {key} are not a certificate and its key: {error}") from error
        try:
            context.load_verify_locations(authority)
        except OSError as error:
            raise ValueError(f"{authority} holds no certificate of an authority: {error}") from error
        return cls(certificate.read_bytes(), key.read_bytes(), authority.read_bytes())

    def for_server(self) -> grpc.ServerCredentials:
        """Return what the server listens with. Fronts prove who they are by their token."""
        return grpc.ssl_server_credentials([(self.key, self.certificate)])

    def for_front(self) -> grpc.ChannelCredentials:
        """Return what a front checks the server with."""
        return grpc.ssl_channel_credentials(self.authority)
