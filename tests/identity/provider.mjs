// The OpenID provider of the tests: oidc-provider over HTTPS on loopback. Its access tokens are JSON Web Tokens that the mail
// stack's Dovecot takes. README.md says which clients there are, and what else it answers.
import { createServer } from 'node:https'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parse } from 'node:querystring'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { Provider, interactionPolicy } from 'oidc-provider'

const [home, port] = process.argv.slice(2)
const issuer = `https://localhost:${port}`
const resource = 'urn:test:mail'
const read = (name) => readFileSync(`${home}/${name}`)

// Whose mailbox the tokens of a client are for: the user of the mail stack by its own name.
const user = (client) => `${client.split('-')[0]}@example.test`
const secret = (client) => `Kennwort-idp-${client}-7`
const byKey = { ...new X509Certificate(read('client.pem')).publicKey.export({ format: 'jwk' }), use: 'sig' }
// Each refresh token of theirs is good for one use. Shown again it ends the whole grant with the first, and not with the second.
const turning = ['alice-turning', 'alice-turning-kills', 'alice-turning-random']
const lenient = ['alice-lenient', 'alice-lenient-kills', 'alice-lenient-random']
// A person signs in for them, by a device code.
const devices = ['alice-device', 'alice-device-brief', 'alice-device-slow', 'alice-device-login', 'alice-device-ends', 'alice-device-paused', 'probe-device']
// A person consents for them in a browser, which comes back to any port of this machine (RFC 8252 section 7.3).
const natives = ['alice-desktop', 'alice-native', 'probe-native']
const machine = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] }
const clients = [
  { client_id: 'alice', client_secret: secret('alice'), ...machine },
  { client_id: 'probe', client_secret: secret('probe'), ...machine },
  { client_id: 'alice-hour', client_secret: secret('alice-hour'), ...machine },
  { client_id: 'alice-federated', client_secret: secret('alice-federated'), ...machine },
  { client_id: 'alice-ends', client_secret: secret('alice-ends'), ...machine },
  { client_id: 'alice-proxied', client_secret: secret('alice-proxied'), ...machine },
  { client_id: 'alice-short', client_secret: secret('alice-short'), ...machine },
  { client_id: 'alice-key', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [byKey] }, ...machine },
  ...devices.map((id) => ({
    client_id: id, token_endpoint_auth_method: 'none', redirect_uris: [], response_types: [],
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token']
  })),
  ...natives.map((id) => ({
    client_id: id, application_type: 'native', redirect_uris: ['http://127.0.0.1', 'http://localhost/back'],
    ...(id.endsWith('-desktop') ? { client_secret: secret(id) } : { token_endpoint_auth_method: 'none' }),
    response_types: ['code'], grant_types: ['authorization_code', 'refresh_token']
  })),
  ...['alice-user', ...turning, ...lenient].map((id) => ({
    client_id: id, client_secret: secret(id), redirect_uris: ['https://client.test/back'],
    response_types: ['code'], grant_types: ['authorization_code', 'refresh_token']
  }))
]

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig' }] },
  scopes: ['openid', 'offline_access', 'mail'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { policy: interactionPolicy.base() },
  rotateRefreshToken: ({ oidc }) => [...turning, ...lenient, ...devices].includes(oidc.client.clientId),
  ttl: {
    ClientCredentials: (_, token) => (token.clientId.endsWith('-short') ? 2 : 3600),
    AccessToken: (_, token) => (token.clientId.endsWith('-random') ? 4 : 3600), RefreshToken: () => 3600, Grant: () => 3600,
    DeviceCode: (_, code) => (code.clientId.endsWith('-brief') ? 3 : 900)
  },
  // Dovecot 2.3 takes no other type than this (RFC 9068 has at+jwt).
  formats: { customizers: { jwt: (_, __, jwt) => { jwt.header = { typ: 'JWT' } } } },
  extraTokenClaims: (_, token) => ({ email: user(token.clientId) }),
  features: {
    // Its own pages for signing in and consenting.
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'mail', audience: resource, accessTokenFormat: 'jwt',
        // The mail stack knows this key.
        jwt: { sign: { alg: 'HS256', key: read('jwt.key') } }
      })
    }
  }
})

provider.on('refresh_token.consumed', async (token) => {
  if (lenient.includes(token.clientId)) delete (await provider.RefreshToken.adapter.find(token.jti)).consumed
})

// A user's consent, without a browser: what came of an authorization code flow.
const consent = async (id) => {
  const client = await provider.Client.find(id)
  const accountId = user(id)
  const grant = new provider.Grant({ accountId, clientId: id })
  grant.addOIDCScope('openid offline_access')
  grant.addResourceScope(resource, 'mail')
  const grantId = await grant.save()
  const token = new provider.RefreshToken({
    accountId, client, grantId, gty: 'authorization_code', scope: 'openid offline_access mail', resource, rotations: 0,
    iiat: Math.floor(Date.now() / 1000), claims: {}
  })
  return { refresh_token: await token.save(), grant: grantId }
}

// It names no interval of its own.
provider.use(async (ctx, next) => {
  await next()
  if (ctx.oidc?.route === 'device_authorization' && ctx.status === 200) ctx.body = { ...ctx.body, interval: 1 }
})

// A person at the page that a device code leads to: signs in, or declines.
const sign = async (userCode, error) => {
  const code = await provider.DeviceCode.findByUserCode(userCode.replace(/[^A-Z]/g, ''))
  if (!code) return { unknown: userCode }
  const clientId = code.clientId
  if (error) {
    Object.assign(code, { error, errorDescription: 'the person said no' })
  } else {
    const accountId = user(clientId)
    const grant = new provider.Grant({ accountId, clientId })
    grant.addOIDCScope('openid offline_access')
    grant.addResourceScope(resource, 'mail')
    const authTime = Math.floor(Date.now() / 1000)
    Object.assign(code, { accountId, grantId: await grant.save(), authTime, scope: 'openid offline_access mail', resource })
  }
  await code.save()
  return { signed: clientId, grant: code.grantId }
}

// How often a slow client is told to slow down before anything else.
let slow = 1

const revoke = async (grant) => {
  await provider.RefreshToken.revokeByGrantId(grant)
  return { revoked: grant }
}

// What Microsoft calls a federated credential: a token of this issuer's, for this subject, stands in for the client's secret.
let trust
const vouched = async (body) => {
  const { client_assertion: assertion, client_assertion_type: _, ...rest } = body
  const { jwks, issuer, subject, audience } = trust
  await jwtVerify(assertion, createLocalJWKSet(jwks), { issuer, subject, audience })
  return { ...rest, client_secret: secret(body.client_id) }
}

const log = []
const answer = provider.callback()
const server = createServer({ key: read('server.key'), cert: read('server.pem') }, async (request, response) => {
  const url = new URL(request.url, issuer)
  const json = (value) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  if (url.pathname === '/test/consent') return json(await consent(url.searchParams.get('client')))
  if (url.pathname === '/test/revoke') return json(await revoke(url.searchParams.get('grant')))
  if (url.pathname === '/test/trust') {
    trust = JSON.parse(readFileSync(url.searchParams.get('file')))
    return json({ trusts: trust.subject })
  }
  if (url.pathname === '/test/log') return json(log)
  if (url.pathname === '/test/sign') return json(await sign(url.searchParams.get('code'), url.searchParams.get('error')))
  if (['/token', '/device/auth'].includes(url.pathname)) {
    const basic = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString()
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    request.body = parse(Buffer.concat(chunks).toString())
    const client = request.body.client_id ?? decodeURIComponent(basic.split(':')[0])
    const grant = request.body.grant_type ?? 'device'
    response.on('finish', () => log.push({ client, grant, status: response.statusCode, at: Date.now() }))
    if (client.endsWith('-federated')) {
      try {
        request.body = await vouched(request.body)
      } catch (error) {
        const told = { error: 'invalid_client', error_description: error.message }
        return response.writeHead(401, { 'content-type': 'application/json' }).end(JSON.stringify(told))
      }
    }
    if (client.endsWith('-slow') && grant.endsWith('device_code') && slow-- > 0) {
      return response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ error: 'slow_down' }))
    }
  }
  answer(request, response)
})
server.on('error', (error) => {
  console.error(error.message)
  process.exit(error.code === 'EADDRINUSE' ? 98 : 1)
})
server.listen(Number(port), '127.0.0.1', () => console.log('ready'))
process.on('SIGTERM', () => process.exit(0))
