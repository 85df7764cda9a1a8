"""The service, which waits ten minutes for its database instead of one: a test on a machine under
load takes its time to start the server and to migrate."""

import service.backends
from service.__main__ import main

if __name__ == "__main__":
    service.backends.PATIENCE = 600.0
    main()
