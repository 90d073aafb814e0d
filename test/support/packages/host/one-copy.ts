import { Hono } from 'hono'
import { planstream } from './mounted.js'

export const app = new Hono().get('/hello', (context) => context.json({ hello: 'world' })).route('/planstream', planstream.app)
