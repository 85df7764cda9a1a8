"""Who may use the service, and how: authentication, origins, proxies, limits, HTTP itself."""
