"""The console's pages: server-rendered, over `console.queries` and the services' own routes."""
