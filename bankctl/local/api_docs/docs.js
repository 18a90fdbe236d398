// Shows the bank's OpenAPI document. The session's cookie is sent by the browser, as the page has the same origin.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // The default sends the document's address to a validator elsewhere.
  validatorUrl: null,
});
