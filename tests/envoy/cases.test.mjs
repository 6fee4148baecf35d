// Every case of tests/cases in Envoy, over HTTP/1.1 and HTTP/2.
import { declareCases, topics } from './cases.mjs';

declareCases('cases', topics);
