import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.util.Base64;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.valves.SSLValve;

/** Tomcat with SSLValve as it comes, and a servlet that answers with the x5t#S256 of the certificate it is given. */
public final class SslValveServer {
    public static void main(String[] arguments) throws Exception {
        var tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[0]);
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        var context = tomcat.addContext("", null);
        context.getPipeline().addValve(new SSLValve());
        Tomcat.addServlet(context, "thumbprint", new Thumbprint());
        context.addServletMappingDecoded("/*", "thumbprint");
        tomcat.start();
        System.out.println(tomcat.getConnector().getLocalPort());
        tomcat.getServer().await();
    }

    private static final class Thumbprint extends HttpServlet {
        @Override
        protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
            var certificates = (X509Certificate[]) request.getAttribute("jakarta.servlet.request.X509Certificate");
            try {
                var digest = MessageDigest.getInstance("SHA-256").digest(certificates[0].getEncoded());
                response.getWriter().print(Base64.getUrlEncoder().withoutPadding().encodeToString(digest));
            } catch (GeneralSecurityException error) {
                throw new IOException(error);
            }
        }
    }
}
