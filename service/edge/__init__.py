"""Who may use the service, and how: authentication, CORS, proxies, limits and HTTP itself."""
