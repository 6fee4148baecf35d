// The npm packages that the tests use, imported only once they are known to be installed.
import { required } from './envoy.mjs';

required('tests/envoy/node_modules/.package-lock.json');
export const { default: signatures } = await import('http-message-signatures');
export const { parseDictionary } = await import('structured-headers');
export const messageSignature = await import('http-message-sig');
export const jose = await import('jose');
export const openid = await import('openid-client');
export const { default: Provider } = await import('oidc-provider');
export const { Agent, fetch } = await import('undici');
export const { Ajv } = await import('ajv');
export const { parse: parseYaml } = await import('yaml');
