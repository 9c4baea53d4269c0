"""A client that may read but not write."""

from driving import drive


def flow(client):
    client.auth_check()
    client.trace(name="refused").end()
    return {"is_flushed": client.flush(20)}


if __name__ == "__main__":
    drive(flow)
