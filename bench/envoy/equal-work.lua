-- What a careful user of Envoy would write instead of certbound: the certificate of the connection must be the one that
-- is registered for the client_id in the form. Kept as fast as it can be: look-ups in a table, Client-Cert made once
-- for a client.
--
-- It does not: sign; verify paths, validity or revocation; decode the form (client%5fid, repeated parameters), look at
-- Content-Type, Content-Encoding or other credentials; remove certificate headers of other spellings; count or log.

local clients = {}
for client_id, digest, thumbprint in ([[
CLIENTS]]):gmatch("(%S+) (%S+) (%S+)") do
  clients[client_id] = { digest = digest, thumbprint = thumbprint }
end

-- RFC 9440: the certificate's DER in base64 between colons.
local function client_cert(pem)
  pem = pem:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  return ":" .. pem:gsub("%-%-%-%-%-[^-]+%-%-%-%-%-", ""):gsub("%s", "") .. ":"
end

local function refuse(handle)
  handle:respond({
    [":status"] = "401", ["content-type"] = "application/json", ["cache-control"] = "no-store", ["pragma"] = "no-cache",
  }, '{"error":"invalid_client","error_description":"client authentication failed"}')
end

function envoy_on_request(handle)
  local headers = handle:headers()
  -- First of all: after an error in a script Envoy lets the request go on.
  headers:remove("client-cert")
  headers:remove("client-cert-chain")
  headers:remove("x-client-verify")
  headers:remove("x-client-cert-thumbprint")
  headers:remove("x-client-id")
  if headers:get(":path") ~= "/oauth/token" or headers:get(":method") ~= "POST" then return end

  local body = handle:body()
  local form = body and body:getBytes(0, body:length()) or ""
  local client_id = ("&" .. form):match("&client_id=([^&]+)")
  local client = client_id and clients[client_id]
  local connection = handle:streamInfo():downstreamSslConnection()
  if not client or not connection or connection:sha256PeerCertificateDigest() ~= client.digest then
    return refuse(handle)
  end
  if not client.client_cert then
    client.client_cert = client_cert(connection:urlEncodedPemEncodedPeerCertificate())
  end
  headers = handle:headers() -- the former is of no use once the body was waited for
  headers:add("client-cert", client.client_cert)
  headers:add("x-client-verify", "FAILED:self-signed certificate")
  headers:add("x-client-cert-thumbprint", client.thumbprint)
  headers:add("x-client-id", client_id)
end
